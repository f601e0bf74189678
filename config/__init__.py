"""What an installation is, as files: settings, sites, asset types, register, rules, knowledge."""
