// Package policy knows the IAM policy language and who a caller is. It is pure: values in, decisions out.
package policy
