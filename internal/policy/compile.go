package policy

// Policy is a document that has been prepared for evaluation.
type Policy struct {
	Name     string
	Document *Document
}
