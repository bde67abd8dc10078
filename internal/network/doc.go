// Package network holds the model of virtual networks: VPCs, subnets, security groups, network ACLs, network interfaces,
// and the part of the EC2 API that shows and changes them. Nothing routes packets through it. It says which addresses
// exist and who has them, and it decides who may connect to whom: reach.go is the decision, pure; gate.go makes
// connections and ends them by it. On one machine the addresses of VPCs in which HSMs stand are loopback addresses that
// are bound for real (loopback.go).
//
// Records go to a Store. Every write goes through Service.change, after which the connections in its scope are judged
// again. Other services take and give back interfaces through the methods in managed.go and presence.go. The files named
// after a kind of resource hold its operations; filter.go is what all Describe operations share.
package network
