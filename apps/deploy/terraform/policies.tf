# What each application may do. The topics, ids and groups are those of ../applications.json, which a test of the project
# (tests/deploy) holds against the code: what a topology reads, writes and makes, and nothing else.
data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  applications = jsondecode(file("${path.module}/../applications.json"))
  database     = "millpond"
  # The user of PostgreSQL that the loader connects as; see roles.sql.
  database_user = "loader"

  cluster_arn = aws_msk_cluster.this.arn
  # arn:aws:kafka:region:account:cluster/name/uuid, and the same with topic, group or transactional-id.
  topic_arn            = replace(local.cluster_arn, ":cluster/", ":topic/")
  group_arn            = replace(local.cluster_arn, ":cluster/", ":group/")
  transactional_id_arn = replace(local.cluster_arn, ":cluster/", ":transactional-id/")

  # rds-db ARNs have the account and region of the instance, and its resource id instead of its name.
  database_user_arn = format(
    "arn:%s:rds-db:%s:%s:dbuser:%s/%s",
    data.aws_partition.current.partition,
    split(":", aws_db_instance.this.arn)[3],
    data.aws_caller_identity.current.account_id,
    aws_db_instance.this.resource_id,
    local.database_user,
  )

  # By class: what is done with a topic of that class.
  topic_actions = {
    # Inputs, and the positions in them.
    reads = ["DescribeTopic", "ReadData"]
    # Outputs.
    writes = ["DescribeTopic", "WriteData"]
    # Made when they are missing, written with every commit, read at every restore; their settings are looked at.
    changelogs = ["CreateTopic", "DescribeTopic", "DescribeTopicDynamicConfiguration", "ReadData", "WriteData"]
    commits    = ["CreateTopic", "DescribeTopic", "DescribeTopicDynamicConfiguration", "ReadData", "WriteData"]
    # Records are deleted behind the commit. Kafka asks for DELETE on the topic for that.
    repartitions = ["CreateTopic", "DeleteTopic", "DescribeTopic", "DescribeTopicDynamicConfiguration", "ReadData", "WriteData"]
    # Made when it is missing, never read.
    dead_letters = ["CreateTopic", "DescribeTopic", "WriteData"]
  }

  statements = {
    for application, of in local.applications : application => concat(
      [
        {
          # Apache Kafka 4.3 does not ask a transactional producer for WriteDataIdempotently; whether MSK does could not be
          # tried. It opens no topic.
          Sid      = "Connect"
          Effect   = "Allow"
          Action   = ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]
          Resource = [local.cluster_arn]
        },
        {
          # The group has the application's id; offsets are committed to it in the transaction.
          Sid      = "Group"
          Effect   = "Allow"
          Action   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
          Resource = ["${local.group_arn}/${application}"]
        },
        {
          # {application.id}-{instance}-{thread}: one for each stream thread.
          Sid      = "Transactions"
          Effect   = "Allow"
          Action   = ["kafka-cluster:AlterTransactionalId", "kafka-cluster:DescribeTransactionalId"]
          Resource = ["${local.transactional_id_arn}/${of.transactional_ids}"]
        },
      ],
      [
        for class, actions in local.topic_actions : {
          Sid      = join("", [for word in split("_", class) : title(word)])
          Effect   = "Allow"
          Action   = [for action in actions : "kafka-cluster:${action}"]
          Resource = [for topic in flatten([of[class]]) : "${local.topic_arn}/${topic}"]
        } if length(flatten([of[class]])) > 0
      ],
      of.database ? [
        {
          Sid      = "Database"
          Effect   = "Allow"
          Action   = ["rds-db:connect"]
          Resource = [local.database_user_arn]
        },
      ] : [],
    )
  }

  # KEDA only looks: at the groups' offsets and the ends of what they read.
  keda_statements = [
    {
      Sid      = "Connect"
      Effect   = "Allow"
      Action   = ["kafka-cluster:Connect"]
      Resource = [local.cluster_arn]
    },
    {
      Sid      = "Groups"
      Effect   = "Allow"
      Action   = ["kafka-cluster:DescribeGroup"]
      Resource = [for application in keys(local.applications) : "${local.group_arn}/${application}"]
    },
    {
      Sid    = "Topics"
      Effect = "Allow"
      Action = ["kafka-cluster:DescribeTopic"]
      Resource = [
        for topic in distinct(flatten([for of in values(local.applications) : concat(of.reads, of.repartitions)])) :
        "${local.topic_arn}/${topic}"
      ]
    },
  ]
}
