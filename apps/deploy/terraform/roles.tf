locals {
  # Who gets which role: a service account of Kubernetes for each, or a task of ECS.
  service_accounts = merge(
    { for application in keys(local.applications) : application => { namespace = var.namespace, name = application } },
    var.keda == null ? {} : { keda = { namespace = var.keda.namespace, name = var.keda.service_account } },
  )

  policies = merge(local.statements, var.keda == null ? {} : { keda = local.keda_statements })

  trust = {
    for owner, account in local.service_accounts : owner => var.platform == "eks" ? {
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      # Pod Identity tags its sessions; the tags tell one service account from another.
      Action = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = merge(
          {
            "aws:RequestTag/kubernetes-namespace"       = account.namespace
            "aws:RequestTag/kubernetes-service-account" = account.name
          },
          var.eks_cluster_name == null ? {} : { "aws:RequestTag/eks-cluster-name" = var.eks_cluster_name },
        )
      }
      } : {
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = ["sts:AssumeRole"]
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
      }
    }
  }
}

resource "aws_iam_role" "this" {
  for_each             = local.service_accounts
  name                 = "${var.name}-${each.key}"
  description          = "What ${each.key} may do in Kafka and PostgreSQL"
  max_session_duration = 3600
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = [local.trust[each.key]] })
  tags                 = var.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.service_accounts
  name     = "millpond"
  role     = aws_iam_role.this[each.key].id
  policy   = jsonencode({ Version = "2012-10-17", Statement = local.policies[each.key] })
}

resource "aws_eks_pod_identity_association" "this" {
  for_each        = var.platform == "eks" && var.eks_cluster_name != null ? local.service_accounts : {}
  cluster_name    = var.eks_cluster_name
  namespace       = each.value.namespace
  service_account = each.value.name
  role_arn        = aws_iam_role.this[each.key].arn
  tags            = var.tags
}
