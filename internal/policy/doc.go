// Package policy knows the IAM policy language: who a caller is, what a document says, and whether a request is allowed.
// It is pure: values in, decisions out.
//
// A document is read by the grammar of its kind (Parse, ParseIdentity, ParseTrust), prepared once (Compile), and then
// asked any number of times, by any number of goroutines (Evaluate). A Decision names the statement or grant that made
// it and words the refusal as AWS does (Decision.Message). The order of evaluation is told at Evaluate, and shown case
// by case in testdata/corpus.
package policy
