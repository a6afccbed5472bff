"""The operator: turns TTSModels and TTSTenants into running speech endpoints."""
