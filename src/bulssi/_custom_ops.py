"""The former place of what :mod:`library` has."""

from bulssi.library import custom_op, register_fake
from bulssi.library import register_fake as impl_abstract

__all__ = ["custom_op", "impl_abstract", "register_fake"]
