"""The hub beside the brokers people would pick instead."""
