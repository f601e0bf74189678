"""A closed day of one asset: daily fault log, features, scores and expert rules, ranked diagnoses."""
