// Package network holds the model of virtual networks: VPCs, subnets, security groups, network interfaces, and the
// part of the EC2 API that shows them. Nothing routes packets through it; it says which addresses exist and who has
// them. On one machine the addresses of the default VPC are loopback addresses that HSMs bind for real (loopback.go).
//
// Records go to a Store. Other services take and give back interfaces through the methods in managed.go.
package network
