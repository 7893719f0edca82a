"""The technician routing and scheduling problem of Pillac, Gueret and Medaglia (2013), on top of our own search."""
