terraform {
  # Values that name another variable in a validation need 1.9; the tests need 1.7.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}
