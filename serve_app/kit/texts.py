"""Free text from outside."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Without NUL, which PostgreSQL does not keep: an event that bears one would never get through where it is read."""
