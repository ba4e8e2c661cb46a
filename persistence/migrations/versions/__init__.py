"""One script for each schema version. Alembic runs them by their paths, so they import alembic and SQLAlchemy, and
nothing of ours.
"""
