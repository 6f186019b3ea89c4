"""The send worker whose settlements say nothing to the ledger: what the ledger costs a mail is the difference.

They are changed from outside; production code knows nothing of it.
"""

import sys

from bench.ledger import leafless
from preklic_shared.cli import main

if __name__ == "__main__":
    sys.argv[1:] = ["worker", "send"]
    with leafless():
        sys.exit(main())
