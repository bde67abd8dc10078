// Package cloudhsm holds the rules of the CloudHSM v2 API: clusters and their HSMs, the states they go through,
// certificates, tags; and which HSMs make up a cluster at any moment. It decides; processes are run by a Fleet,
// addresses come from a Network, records go to a Store.
//
// The API's rows (service.go) only write down what is wanted. A keeper for every cluster (keeper.go) compares what the
// store says with what the HSMs say, asks the pure function plan (plan.go) for the next step and takes it. Since
// everything that a step needs is in the store, a keeper that died goes on where it was.
//
// A cluster's record, HSMs and membership included, is one value under compare-and-swap: a membership is durable
// before any HSM is told of it.
package cloudhsm
