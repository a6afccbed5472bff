"""Cost: the price of a replica, and what a schedule costs in a month. Money is a Decimal, never a float."""
