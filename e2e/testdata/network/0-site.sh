# A VPC with a subnet of eleven addresses in each of three zones. $BLOCK is 127.x.
VPC=$(aws ec2 create-vpc --cidr-block $BLOCK.0.0/24 --tag-specifications 'ResourceType=vpc,Tags=[{Key=Name,Value=hsm}]' \
  --query Vpc.VpcId --output text)
subnet() {
  aws ec2 create-subnet --vpc-id $VPC --cidr-block $1 --availability-zone $2 --query Subnet.SubnetId --output text
}
SUBNET_A=$(subnet $BLOCK.0.0/28 us-east-1a)
SUBNET_B=$(subnet $BLOCK.0.16/28 us-east-1b)
SUBNET_C=$(subnet $BLOCK.0.32/28 us-east-1c)
free_addresses() {
  aws ec2 describe-subnets --subnet-ids $1 --query 'Subnets[0].AvailableIpAddressCount' --output text
}
test "$(free_addresses $SUBNET_A)" = 11

# Nobody else has these addresses, and a cluster needs addresses of this machine.
refused InvalidVpc.Range aws ec2 create-vpc --cidr-block $BLOCK.0.0/16
ELSEWHERE=$(aws ec2 create-vpc --cidr-block 10.0.0.0/16 --query Vpc.VpcId --output text)
AFAR=$(aws ec2 create-subnet --vpc-id $ELSEWHERE --cidr-block 10.0.0.0/24 --query Subnet.SubnetId --output text)
refused CloudHsmInvalidRequestException aws cloudhsmv2 create-cluster --hsm-type hsm2m.medium --mode FIPS --subnet-ids $AFAR
