"""python -m tax --port 8002 --config conf/tax-a.toml"""

import argparse
import logging
from pathlib import Path

import uvicorn

from tax import settings
from tax.app import app

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=8002)
parser.add_argument("--config", type=Path, required=True)
arguments = parser.parse_args()
settings.load(arguments.config)
uvicorn.run(app, host="127.0.0.1", port=arguments.port)
