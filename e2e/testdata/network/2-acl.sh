# Statements 15 to 19: network ACLs.
ACL=$(aws ec2 describe-network-acls --filters Name=vpc-id,Values=$VPC --query 'NetworkAcls[0].NetworkAclId' --output text)
entry() { # create|delete number direction
  case $1 in
  create) aws ec2 create-network-acl-entry --network-acl-id ${4:-$ACL} --rule-number $2 $3 --protocol tcp \
    --port-range From=2223,To=2223 --cidr-block 0.0.0.0/0 --rule-action deny ;;
  delete) aws ec2 delete-network-acl-entry --network-acl-id ${4:-$ACL} --rule-number $2 $3 ;;
  esac
}
entry create 10 --ingress
refused "KMS cannot communicate with your CloudHSM cluster." encrypt
test "$(store_state)" = CONNECTED
entry delete 10 --ingress
eventually encrypt

# One HSM cut off is not missed: its subnet gets an ACL of its own, which denies everything.
OWN=$(aws ec2 create-network-acl --vpc-id $VPC --query NetworkAcl.NetworkAclId --output text)
ASSOCIATION=$(aws ec2 describe-network-acls --network-acl-ids $ACL \
  --query "NetworkAcls[0].Associations[?SubnetId=='$SUBNET_A'].NetworkAclAssociationId" --output text)
ASSOCIATION=$(aws ec2 replace-network-acl-association --association-id $ASSOCIATION --network-acl-id $OWN \
  --query NewAssociationId --output text)
for i in 1 2 3; do encrypt; done
aws ec2 replace-network-acl-association --association-id $ASSOCIATION --network-acl-id $ACL >/dev/null

# No answers are let out: connecting fails.
disconnect
test -z "$(interfaces)"
test "$(aws ec2 describe-security-groups --filters Name=group-name,Values=kms-$STORE --query 'length(SecurityGroups)')" = 0
aws ec2 create-network-acl-entry --network-acl-id $ACL --rule-number 20 --egress --protocol tcp \
  --port-range From=1024,To=65535 --cidr-block 0.0.0.0/0 --rule-action deny
connect_fails NETWORK_ERRORS
test -z "$(interfaces)"
entry delete 20 --egress
disconnect
connect
