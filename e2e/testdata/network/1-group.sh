# Statements 5, 7, 12 and 20, and key store M1: the cluster's rule is revoked and authorised again.
refused DependencyViolation aws ec2 delete-subnet --subnet-id $SUBNET_A
refused DependencyViolation aws ec2 delete-security-group --group-id $GROUP
test "$(free_addresses $SUBNET_A)" = 9 # an HSM and the key store
test "$(free_addresses $SUBNET_C)" = 10
interfaces() {
  aws ec2 describe-network-interfaces --filters "Name=description,Values=KMS managed ENI for cluster $CLUSTER" \
    --query 'NetworkInterfaces[].[SubnetId,length(Groups),RequesterManaged]' --output text | sort
}
diff <(interfaces) <(printf "%s\t2\tTrue\n" $SUBNET_A $SUBNET_B $SUBNET_C | sort)
ENI=$(aws ec2 describe-network-interfaces --filters Name=requester-managed,Values=true \
  --query 'NetworkInterfaces[0].NetworkInterfaceId' --output text)
refused OperationNotPermitted aws ec2 delete-network-interface --network-interface-id $ENI

aws ec2 revoke-security-group-ingress $rule >/dev/null
refused "KMS cannot communicate with your CloudHSM cluster." encrypt
test "$(store_state)" = CONNECTED
aws ec2 authorize-security-group-ingress $rule >/dev/null
eventually encrypt
