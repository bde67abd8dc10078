package cloudtrail

// DeliverDue is what the background does from time to time.
var DeliverDue = (*Service).deliverDue

// Prune is what the background does from time to time.
var Prune = (*Service).prune
