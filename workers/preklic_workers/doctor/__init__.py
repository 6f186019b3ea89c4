"""What `preklic doctor` looks at: each check yields what is wrong, why that matters, and what mends it."""
