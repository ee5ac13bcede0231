variable "name" {
  description = "Prefix of everything that is made here, and the name of the cluster."
  type        = string
  default     = "millpond"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "Lower-case letters, digits and hyphens, at most 31, beginning with a letter."
  }
}

variable "tags" {
  description = "Tags on every resource that takes tags."
  type        = map(string)
  default     = {}
}

variable "vpc_id" {
  description = "The VPC of the brokers, the database and the applications."
  type        = string
}

variable "private_subnet_ids" {
  description = "Private subnets, one per availability zone: brokers and database go there."
  type        = list(string)

  validation {
    condition     = length(var.private_subnet_ids) == 3 && length(distinct(var.private_subnet_ids)) == 3
    error_message = "Three subnets in three zones: replication factor 3 must survive the loss of one of them."
  }
}

variable "client_security_groups" {
  description = "Security groups of the applications, by a name of your own: the only ones that reach brokers and database."
  type        = map(string)
}

variable "monitoring_security_groups" {
  description = "Security groups of Prometheus, by a name of your own; empty leaves the brokers' exporters off."
  type        = map(string)
  default     = {}
}

variable "kafka_version" {
  description = "Version of Apache Kafka, as MSK names it."
  type        = string
  default     = "3.9.x.kraft"

  validation {
    # WriteTxnMarkers, which ends a hanging transaction, is open to IAM principals from 3.8 on.
    condition     = can(regex("^(3\\.[89]|[4-9]\\.[0-9]+)\\.", var.kafka_version))
    error_message = "At least 3.8: before it, a hanging transaction cannot be ended by an IAM principal."
  }
}

variable "broker_instance_type" {
  description = "Instance type of the brokers."
  type        = string
  default     = "kafka.m7g.large"
}

variable "brokers_per_zone" {
  description = "Brokers in each of the three zones."
  type        = number
  default     = 1
}

variable "broker_volume_gib" {
  description = "Volume of each broker at the start; it grows by itself up to broker_volume_gib_max."
  type        = number
  default     = 200
}

variable "broker_volume_gib_max" {
  description = "Where the growth of a broker's volume ends. A volume never shrinks."
  type        = number
  default     = 1000

  validation {
    condition     = var.broker_volume_gib_max >= var.broker_volume_gib
    error_message = "At least broker_volume_gib."
  }
}

variable "postgres_version" {
  description = "Major version of PostgreSQL; the tests of the project run on 15."
  type        = string
  default     = "15"
}

variable "database_instance_class" {
  description = "Instance class of the database."
  type        = string
  default     = "db.m7g.large"
}

variable "database_storage_gib" {
  description = "Storage of the database at the start; it grows by itself up to database_storage_gib_max."
  type        = number
  default     = 100
}

variable "database_storage_gib_max" {
  description = "Where the growth of the database's storage ends."
  type        = number
  default     = 1000
}

variable "log_retention_days" {
  description = "How long the brokers' logs are kept."
  type        = number
  default     = 30
}

variable "platform" {
  description = "Who may assume the roles: pods by EKS Pod Identity, or tasks of ECS."
  type        = string
  default     = "eks"

  validation {
    condition     = contains(["eks", "ecs"], var.platform)
    error_message = "eks or ecs."
  }
}

variable "eks_cluster_name" {
  description = "EKS cluster whose service accounts get the roles; null makes no associations."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Kubernetes namespace of the applications; their service accounts have the applications' names."
  type        = string
  default     = "millpond"
}

variable "keda" {
  description = "Namespace and service account of the KEDA operator, if it reads lag with a role of its own."
  type        = object({ namespace = string, service_account = string })
  default     = null
}
