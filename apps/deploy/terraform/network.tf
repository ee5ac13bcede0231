locals {
  # MSK's port for IAM over TLS, inside the VPC.
  kafka_port    = 9098
  postgres_port = 5432
  # JMX exporter and node exporter of the brokers.
  exporter_ports = { jmx = 11001, node = 11002 }

  exporter_clients = merge([
    for exporter, port in local.exporter_ports : {
      for client, group in var.monitoring_security_groups : "${client}-${exporter}" => { group = group, port = port }
    }
  ]...)
}

resource "aws_security_group" "brokers" {
  name        = "${var.name}-kafka"
  description = "Brokers: IAM over TLS from the applications"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-kafka" })
}

resource "aws_vpc_security_group_ingress_rule" "brokers" {
  for_each                     = var.client_security_groups
  description                  = "Kafka with IAM from ${each.key}"
  security_group_id            = aws_security_group.brokers.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.kafka_port
  to_port                      = local.kafka_port
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "exporters" {
  for_each                     = local.exporter_clients
  description                  = "Exporter for ${each.key}"
  security_group_id            = aws_security_group.brokers.id
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  tags                         = var.tags
}

resource "aws_security_group" "database" {
  name        = "${var.name}-postgres"
  description = "PostgreSQL from the applications"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-postgres" })
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each                     = var.client_security_groups
  description                  = "PostgreSQL from ${each.key}"
  security_group_id            = aws_security_group.database.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.postgres_port
  to_port                      = local.postgres_port
  tags                         = var.tags
}
