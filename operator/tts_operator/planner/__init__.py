"""The planner: what a tenant's schedule can carry and costs, and the cheapest one that carries its traffic."""
