"""Reading pages as a browser would."""

import base64
import gzip
import json
import re


def cells(page: str) -> list[list[str]]:
    """Return the cells of a table that stands in the page's own text."""
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


def packed_data(page: str) -> dict:
    """Return the data that a page's script reads."""
    packed = re.search(r'id="data">(.*?)</script>', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))
