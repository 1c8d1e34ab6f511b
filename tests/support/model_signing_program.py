"""OpenSSF's `model_signing` as a program: a folder with a model, signed and verified by its command line."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from signatures import Key, pem_of, private_pem, public_pem


@dataclass(frozen=True)
class ModelSigning:
    """The program of that Python, with a model in `folder/model`."""

    python: Path
    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def write(self, name: str, content: bytes) -> None:
        """Put a file into the model."""
        path = self.model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def sign(self, key: Key, *chain: x509.Certificate, ignored: tuple[str, ...] = ()) -> bytes:
        """The signature of the model, by the key or with its certificate, which comes first."""
        signature, private = self.folder / "model.sig", self.folder / "key.pem"
        private.write_bytes(private_pem(key))
        options = ["--private_key", str(private), "--signature", str(signature)]
        for path in ignored:
            options += ["--ignore-paths", str(self.model / path)]
        if chain:
            own, between = self._pem("own.pem", chain[0]), self._pem("between.pem", *chain[1:])
            options += ["--signing_certificate", str(own), "--certificate_chain", str(between)]
        done = self._run("sign", "certificate" if chain else "key", *options)
        assert done.returncode == 0, done.stderr
        return signature.read_bytes()

    def verify_key(self, signature: bytes, key: Key) -> str:
        """What it says of a signature that the key has to have made; empty where it accepts it."""
        public = self.folder / "pub.pem"
        public.write_text(public_pem(key))
        return self._verify("key", signature, "--public_key", str(public))

    def verify_certificate(self, signature: bytes, authority: x509.Certificate) -> str:
        """The same of one with a certificate of the authority."""
        return self._verify("certificate", signature, "--certificate_chain", str(self._pem("ca.pem", authority)))

    def _verify(self, method: str, signature: bytes, *options: str) -> str:
        path = self.folder / "ours.sig"
        path.write_bytes(signature)
        done = self._run("verify", method, "--signature", str(path), *options)
        return done.stderr if done.returncode else ""

    def _run(self, verb: str, method: str, *options: str) -> subprocess.CompletedProcess[str]:
        words = [str(self.python), "-m", "model_signing", verb, method, str(self.model), *options]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def _pem(self, name: str, *certificates: x509.Certificate) -> Path:
        path = self.folder / name
        path.write_text(pem_of(*certificates))
        return path
