"""Write the list of what a wheel holds and needs (SBOM, CycloneDX 1.6 JSON) beside it.

    python release/sbom.py dist/mien-*.whl

The same wheel in the same environment gives the same bytes.
"""

from __future__ import annotations

import base64
import os
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from contents import CORE, FACENET, ROOT, Package, page_packages, python_packages
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

sys.path.insert(0, str(ROOT / "web" / "scripts"))
from make_face_check import SHA256 as FACENET_SHA256

LICENCES = LicenseFactory()


def bill(wheel: Path) -> Bom:
    """The list of a wheel: the wheel with its digest, what is inside, and what it needs from outside."""
    content = sha256(wheel.read_bytes())
    version = wheel.name.split("-")[1]
    root = _component(PackageURL("pypi", name="mien", version=version), "MIT", content.hexdigest())
    root.type = ComponentType.APPLICATION
    bom = Bom(serial_number=UUID(bytes=content.digest()[:16], version=4))
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "315532800")), UTC)
    bom.metadata.component = root
    inside = _inside()
    packages = python_packages()
    outside = {each.name: _outside(each) for each in packages}
    for component in (*inside, *outside.values()):
        bom.components.add(component)
    bom.register_dependency(root, [*inside, *(outside[each.name] for each in packages if CORE in each.extras)])
    for each in packages:
        bom.register_dependency(outside[each.name], [outside[name] for name in each.needs if name in outside])
    return bom


def _inside() -> list[Component]:
    """What the page and the detector are made from."""
    found = [_component(PackageURL("pypi", name=FACENET[0], version=FACENET[1]), "MIT", FACENET_SHA256)]
    for name, entry in page_packages().items():
        group, _, short = name.rpartition("/")
        url = PackageURL("npm", namespace=group or None, name=short, version=entry["version"])
        digest = base64.b64decode(entry["integrity"].removeprefix("sha512-")).hex()
        found.append(_component(url, entry["license"], digest))
    for component in found:
        component.properties.add(Property(name="mien:where", value="inside the wheel"))
    return found


def _outside(package: Package) -> Component:
    component = _component(PackageURL("pypi", name=package.name, version=package.version), package.licence)
    component.scope = ComponentScope.REQUIRED if CORE in package.extras else ComponentScope.OPTIONAL
    component.properties.add(Property(name="mien:needed-by", value=" ".join(package.extras)))
    return component


def _component(url: PackageURL, licence: str, digest: str = "") -> Component:
    algorithm = HashAlgorithm.SHA_512 if len(digest) == 128 else HashAlgorithm.SHA_256
    return Component(
        name=url.name,
        group=url.namespace,
        version=url.version,
        purl=url,
        bom_ref=str(url),
        type=ComponentType.LIBRARY,
        licenses=[LICENCES.make_from_string(licence)],
        hashes=[HashType(alg=algorithm, content=digest)] if digest else [],
    )


def main(wheels: list[str]) -> int:
    """Write a list beside each wheel. Returns the exit code."""
    if not wheels:
        sys.stderr.write(__doc__ or "")
        return 2
    for wheel in map(Path, wheels):
        text = make_outputter(bill(wheel), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
        out = wheel.with_name("-".join(wheel.name.split("-")[:2]) + ".cdx.json")
        out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
