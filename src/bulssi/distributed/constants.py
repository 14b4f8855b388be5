"""How long processes wait for each other unless told."""

from .distributed_c10d import default_pg_timeout

__all__ = ["default_pg_nccl_timeout", "default_pg_timeout"]

default_pg_nccl_timeout = None
