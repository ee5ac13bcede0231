# terraform test: no account and no network; the provider's answers are made up.
mock_provider "aws" {
  mock_resource "aws_msk_cluster" {
    defaults = {
      arn                        = "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/01234567-89ab-cdef-0123-456789abcdef-3"
      bootstrap_brokers_sasl_iam = "b-1.shop.kafka.eu-central-1.amazonaws.com:9098"
    }
  }

  mock_resource "aws_db_instance" {
    defaults = {
      arn                = "arn:aws:rds:eu-central-1:123456789012:db:shop"
      resource_id        = "db-ABCDEFGHIJKLMNOP"
      address            = "shop.abc.eu-central-1.rds.amazonaws.com"
      master_user_secret = [{ kms_key_id = "k", secret_arn = "s", secret_status = "active" }]
    }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef" }
  }

  mock_resource "aws_msk_configuration" {
    defaults = { arn = "arn:aws:kafka:eu-central-1:123456789012:configuration/shop/01234567-89ab-cdef-0123-456789abcdef-3" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/shop" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  name                   = "shop"
  vpc_id                 = "vpc-1"
  private_subnet_ids     = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_groups = { pods = "sg-1" }
}

run "each_application_writes_only_what_is_its_own" {
  assert {
    condition     = toset(keys(aws_iam_role.this)) == toset(["attribution", "fraud", "loader", "redaction"])
    error_message = "one role for each application"
  }

  assert {
    condition = alltrue(flatten([
      for application, policy in aws_iam_role_policy.this : [
        for statement in jsondecode(policy.policy).Statement : [
          for resource in statement.Resource : !can(regex("\\*", replace(resource, "/transactional-id/.*/${application}-\\*$/", "")))
        ]
      ]
    ]))
    error_message = "the only wildcard is the instance and thread of the application's own transactional ids"
  }

  assert {
    condition = alltrue(flatten([
      for application, policy in aws_iam_role_policy.this : [
        for statement in jsondecode(policy.policy).Statement : [
          for action in statement.Action : !can(regex("\\*|AlterCluster|AlterTopic|DeleteGroup", action))
        ]
      ]
    ]))
    error_message = "no action by wildcard, and none that changes the cluster, a configuration or a group's existence"
  }
}

run "transactional_ids_are_granted_by_application" {
  assert {
    condition = {
      for application, policy in aws_iam_role_policy.this : application => one([
        for statement in jsondecode(policy.policy).Statement : statement.Resource if statement.Sid == "Transactions"
      ])
      } == {
      for application in ["attribution", "fraud", "loader", "redaction"] : application => [
        "arn:aws:kafka:eu-central-1:123456789012:transactional-id/shop/01234567-89ab-cdef-0123-456789abcdef-3/${application}-*"
      ]
    }
    error_message = "transactional-id/cluster/uuid/application-*"
  }

  assert {
    condition = alltrue([
      for policy in aws_iam_role_policy.this : contains(flatten(jsondecode(policy.policy).Statement[*].Action), "kafka-cluster:WriteDataIdempotently")
    ])
    error_message = "the producer is idempotent"
  }
}

run "records_are_deleted_from_repartition_topics_only" {
  assert {
    condition = flatten([
      for policy in aws_iam_role_policy.this : [
        for statement in jsondecode(policy.policy).Statement : [
          for resource in statement.Resource : reverse(split("/", resource))[0]
        ] if contains(statement.Action, "kafka-cluster:DeleteTopic")
      ]
    ]) == ["attribution-by-user-repartition", "fraud-by-user-repartition"]
    error_message = "DeleteTopic on repartition topics only"
  }
}

run "the_loader_alone_reaches_the_database_without_a_password" {
  assert {
    condition = {
      for application, policy in aws_iam_role_policy.this : application => [
        for statement in jsondecode(policy.policy).Statement : statement.Resource if contains(statement.Action, "rds-db:connect")
      ] if strcontains(policy.policy, "rds-db")
    } == { loader = [["arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOP/loader"]] }
    error_message = "one user of one instance, for the loader"
  }

  assert {
    condition     = output.database_url == "postgres://loader@shop.abc.eu-central-1.rds.amazonaws.com:5432/millpond?sslmode=verify-full&sslrootcert=/etc/rds/global-bundle.pem"
    error_message = "no password, and the certificate is checked"
  }

  assert {
    condition     = aws_db_instance.this.iam_database_authentication_enabled && aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection
    error_message = "IAM, two zones, protected"
  }
}

run "brokers_are_reached_by_iam_over_tls_only" {
  assert {
    condition = (
      aws_msk_cluster.this.client_authentication[0].sasl[0].iam
      && !aws_msk_cluster.this.client_authentication[0].unauthenticated
      && aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS"
      && aws_msk_cluster.this.broker_node_group_info[0].connectivity_info[0].public_access[0].type == "DISABLED"
    )
    error_message = "IAM over TLS, inside the VPC"
  }

  assert {
    condition = alltrue([
      for property in ["min.insync.replicas=2", "unclean.leader.election.enable=false", "transaction.state.log.min.isr=2", "default.replication.factor=3"] :
      strcontains(aws_msk_configuration.this.server_properties, property)
    ])
    error_message = "what the guarantee rests on"
  }

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.brokers) == ["pods"] && length(aws_vpc_security_group_ingress_rule.exporters) == 0
    error_message = "one way in"
  }
}

run "a_role_is_for_one_service_account" {
  variables {
    eks_cluster_name = "prod"
    keda             = { namespace = "keda", service_account = "keda-operator" }
  }

  assert {
    condition = jsondecode(aws_iam_role.this["fraud"].assume_role_policy).Statement[0].Condition.StringEquals == {
      "aws:RequestTag/kubernetes-namespace"       = "millpond"
      "aws:RequestTag/kubernetes-service-account" = "fraud"
      "aws:RequestTag/eks-cluster-name"           = "prod"
    }
    error_message = "namespace, service account and cluster are all said"
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 5
    error_message = "four applications and KEDA"
  }

  assert {
    condition = alltrue([
      for action in flatten(jsondecode(aws_iam_role_policy.this["keda"].policy).Statement[*].Action) :
      contains(["kafka-cluster:Connect", "kafka-cluster:DescribeGroup", "kafka-cluster:DescribeTopic"], action)
    ])
    error_message = "KEDA only looks"
  }
}

run "tasks_of_ecs_get_the_same_rights" {
  variables {
    platform = "ecs"
  }

  assert {
    condition     = jsondecode(aws_iam_role.this["loader"].assume_role_policy).Statement[0].Principal.Service == "ecs-tasks.amazonaws.com"
    error_message = "ECS may assume it"
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 0
    error_message = "nothing of EKS"
  }
}

run "two_subnets_are_refused" {
  command = plan

  variables {
    private_subnet_ids = ["subnet-1", "subnet-2"]
  }

  expect_failures = [var.private_subnet_ids]
}

run "a_version_in_which_hanging_transactions_stay_is_refused" {
  command = plan

  variables {
    kafka_version = "3.7.x.kraft"
  }

  expect_failures = [var.kafka_version]
}
