"""What people are told: alarm states, chattering, floods, figures on the alarm system, and the orders people give."""
