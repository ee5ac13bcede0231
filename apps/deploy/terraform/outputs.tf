output "bootstrap_servers" {
  description = "For bootstrap.servers: the brokers' port for IAM over TLS."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_iam
}

output "cluster_arn" {
  description = "The cluster."
  value       = aws_msk_cluster.this.arn
}

output "role_arns" {
  description = "The role of each application, and of KEDA if it was asked for."
  value       = { for owner, role in aws_iam_role.this : owner => role.arn }
}

output "database_url" {
  description = "For app.database_url of the loader. It holds no password: with app.database_auth=rds-iam the loader makes a token for each connection."
  value = format(
    "postgres://%s@%s:%d/%s?sslmode=verify-full&sslrootcert=/etc/rds/global-bundle.pem",
    local.database_user, aws_db_instance.this.address, local.postgres_port, local.database,
  )
}

output "database_owner_secret_arn" {
  description = "The secret with the owner's password, to run roles.sql once."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
