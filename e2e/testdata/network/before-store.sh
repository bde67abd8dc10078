# Statements 6 and 14: no key store without the rules of the cluster's group.
GROUP=$(aws ec2 describe-security-groups --filters Name=group-name,Values=cloudhsm-$CLUSTER-sg \
  --query 'SecurityGroups[].GroupId' --output text)
rule="--group-id $GROUP --protocol tcp --port 2223-2225 --source-group $GROUP"
aws ec2 revoke-security-group-ingress $rule >/dev/null
refused CloudHsmClusterInvalidConfigurationException aws kms create-custom-key-store --custom-key-store-name MyKeyStore \
  --cloud-hsm-cluster-id $CLUSTER --key-store-password kmsPswd1 --trust-anchor-certificate file://customerCA.crt
aws ec2 authorize-security-group-ingress $rule >/dev/null
