"""One script a schema version. Alembic runs them by their paths: they import alembic and SQLAlchemy, nothing
of ours.
"""
