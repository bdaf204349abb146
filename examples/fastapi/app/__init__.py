"""A small shop, served by FastAPI, kept in PostgreSQL."""
