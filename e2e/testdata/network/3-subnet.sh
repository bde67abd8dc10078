# Statements 8, 10 and 11: a subnet without an HSM is filled, freed, and deleted.
disconnect
ENIS=
while ENI=$(aws ec2 create-network-interface --subnet-id $SUBNET_C --query NetworkInterface.NetworkInterfaceId --output text 2>error); do
  ENIS="$ENIS $ENI"
done
grep -q InsufficientFreeAddressesInSubnet error
test "$(wc -w <<<"$ENIS")" = 11
connect_fails INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET
test -z "$(interfaces)"
disconnect
aws ec2 delete-network-interface --network-interface-id ${ENIS##* }
connect
encrypt
disconnect
for ENI in ${ENIS% *}; do aws ec2 delete-network-interface --network-interface-id $ENI; done
aws ec2 delete-subnet --subnet-id $SUBNET_C
refused InvalidSubnetID.NotFound aws ec2 describe-subnets --subnet-ids $SUBNET_C
connect_fails SUBNET_NOT_FOUND
