plugin "terraform" {
  enabled = true
  preset  = "all"
}

# The files are named by what they hold.
rule "terraform_standard_module_structure" {
  enabled = false
}
