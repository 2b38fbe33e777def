"""Messages in files: a record, a file of records, and a record as a line of JSON.

Files are read and written through binary file objects. Nothing here opens a file or a socket. docs/tap.rst describes
both formats.
"""

from .format import Writer
from .json_lines import from_line, to_line
from .reader import Damage, DamageKind, Reader
from .record import Record, RecordFilter

__all__ = ["Damage", "DamageKind", "Reader", "Record", "RecordFilter", "Writer", "from_line", "to_line"]
