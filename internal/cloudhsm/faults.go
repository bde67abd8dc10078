package cloudhsm

import "keyward/internal/fault"

// Exceptions of the CloudHSM v2 API.
const (
	codeInvalid  = "CloudHsmInvalidRequestException"
	codeNotFound = "CloudHsmResourceNotFoundException"
	codeService  = "CloudHsmServiceException"
	codeLimit    = "CloudHsmResourceLimitExceededException" // declared by TagResource only
)

func invalid(format string, args ...any) *fault.Error { return fault.New(codeInvalid, format, args...) }

func clusterNotFound(id string) *fault.Error {
	return fault.New(codeNotFound, "Cluster %s was not found.", id)
}

// overQuota is the answer where the API declares no exception for limits.
func overQuota(format string, args ...any) *fault.Error {
	return fault.New(codeService, format, args...)
}
