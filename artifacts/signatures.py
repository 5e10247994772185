"""Signatures and provenance of Knative's images, verified by cosign where that program is installed."""

from __future__ import annotations

import shutil
import subprocess

from artifacts.errors import ArtifactError

# Who signs Knative's releases, as its documentation on verifying images names them.
REPOSITORIES = "gcr.io/knative-releases/"
IDENTITY = "signer@knative-releases.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"
# What each image has to have, with the arguments that ask for it. Provenance tells from which commit it was built.
PROOFS = {"signature": ("verify",), "SLSA provenance": ("verify-attestation", "--type", "slsaprovenance02")}


def program() -> str | None:
    """Where cosign is; None where it is not on PATH."""
    return shutil.which("cosign")


def is_signed(image: str) -> bool:
    """Whether an image is one of those that Knative signs."""
    return image.startswith(REPOSITORIES)


def verify(cosign: str, image: str) -> None:
    """Verify that Knative's releases have signed an image, and what they say of how it was built.

    Args:
        cosign: the program.
        image: its name with a digest.

    Raises:
        ArtifactError: they have not, or cosign cannot tell.
    """
    identity = ("--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER)
    for proof, asks in PROOFS.items():
        ended = subprocess.run([cosign, *asks, *identity, image], capture_output=True, check=False)
        if ended.returncode:
            lines = ended.stderr.decode(errors="replace").strip().splitlines() or [f"status {ended.returncode}"]
            raise ArtifactError(
                f"no valid {proof} of Knative on {image}: {lines[-1].strip().rstrip('.')}; do not use it, or, if this "
                "machine reaches only a mirror of gcr.io, remove cosign from PATH"
            )
