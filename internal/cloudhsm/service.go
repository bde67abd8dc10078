package cloudhsm

// Service is the CloudHSM v2 API.
type Service struct {
	store   Store
	network Network
}
