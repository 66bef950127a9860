"""The table of models, as data: what each shows, where its file is, under which licence. Knows nothing of loading."""

from dataclasses import dataclass

NVIDIA = "https://nvlabs-fi-cdn.nvidia.com"
NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files"
CLOUDFRONT = "https://d36zk2xti64re0.cloudfront.net/stylegan2/networks"
DISTILLED = "https://storage.googleapis.com/self-distilled-stylegan"
MIRROR = "https://huggingface.co/aaronb/StyleGAN2-pkl/resolve/main"
MIRROR_PT = "https://huggingface.co/aaronb/StyleGAN2/resolve/main"


@dataclass(frozen=True)
class Licence:
    """Under which terms weights may be used."""

    name: str
    url: str
    commercial: bool  # whether commercial use is allowed


@dataclass(frozen=True)
class Source:
    """A file that holds a model, and where it is: the origin first, then mirrors of the same bytes."""

    filename: str
    urls: tuple[str, ...]
    sha256: str | None = None  # None: not published by anyone; the first download is then held to


@dataclass(frozen=True)
class ModelSpec:
    """One row. A second source is another file: of another format, and perhaps with other weights."""

    name: str
    shows: str
    height: int  # pixels of the picture
    width: int
    sources: tuple[Source, ...]  # in the order of preference
    licence: Licence
    page: str  # where its authors present it; of our own, in the repository
    size_mb: int  # of the first source; approximate: computed from the architecture
    memory_mb: int  # of the process in a drag; approximate: measured on a CPU, with random weights of that shape
    lr: float  # step size of a drag: 2e-3 for ffhq, afhqcat and car, else 1e-3 (Pan et al. 2023, section 4)

    @property
    def filename(self) -> str:
        return self.sources[0].filename

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address, in the order of preference; none for the model that comes with draggan."""
        return tuple(url for source in self.sources for url in source.urls)

    @property
    def resolution(self) -> int:
        """Pixels of the longer side."""
        return max(self.height, self.width)


APACHE = "https://www.apache.org/licenses/LICENSE-2.0"
OURS = Licence("Apache-2.0", APACHE, commercial=True)
CITE = Licence("Apache-2.0, as its authors state; cite their paper", APACHE, commercial=True)
STYLEGAN2 = Licence(
    "NVIDIA Source Code License-NC: non-commercial use only",
    "https://nvlabs.github.io/stylegan2/license.html",
    commercial=False,
)
ADA = Licence(
    "NVIDIA Source Code License: non-commercial use only",
    "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html",
    commercial=False,
)
HUMAN = Licence(
    "none stated for the weights; their photographs (SHHQ) are for non-commercial research only",
    "https://github.com/stylegan-human/StyleGAN-Human/blob/main/docs/Dataset.md",
    commercial=False,
)
MEMORY_MB = {256: 1100, 512: 1400, 1024: 1400}  # of networks by their size


def _config_f(name: str, shows: str, size: int, size_mb: int, lr: float = 1e-3) -> ModelSpec:
    """A network of the StyleGAN2 paper (TensorFlow)."""
    stem = f"stylegan2-{name}-config-f"
    file = f"{stem}.pkl"
    urls = (f"{NVIDIA}/stylegan2/networks/{file}", f"{MIRROR}/stylegan2/{file}", f"{CLOUDFRONT}/{file}")
    sources = (Source(file, urls), Source(f"{stem}.pt", (f"{MIRROR_PT}/{stem}.pt",)))
    page = "https://github.com/NVlabs/stylegan2"
    return ModelSpec(f"stylegan2-{name}", shows, size, size, sources, STYLEGAN2, page, size_mb, MEMORY_MB[size], lr)


def _ada(name: str, shows: str, size: int, size_mb: int, lr: float = 1e-3) -> ModelSpec:
    """A network of the StyleGAN2-ADA paper (PyTorch)."""
    sources = (
        Source(f"{name}.pkl", (f"{NVIDIA}/stylegan2-ada-pytorch/pretrained/{name}.pkl", f"{MIRROR}/ada/{name}.pkl")),
        _ngc(name, size),
        Source(f"{name}.pt", (f"{MIRROR_PT}/ada/{name}.pt",)),
    )
    page = "https://github.com/NVlabs/stylegan2-ada-pytorch"
    return ModelSpec(f"ada-{name}", shows, size, size, sources, ADA, page, size_mb, MEMORY_MB[size], lr)


def _ngc(name: str, size: int) -> Source:
    """A file of the catalogue that came with StyleGAN3 (PyTorch)."""
    file = f"stylegan2-{name}-{size}x{size}.pkl"
    return Source(file, (f"{NGC}/{file}",))


def _catalogue(name: str, shows: str, size: int, size_mb: int, lr: float) -> ModelSpec:
    source, page = _ngc(name, size), "https://catalog.ngc.nvidia.com/orgs/nvidia/teams/research/models/stylegan2"
    return ModelSpec(f"{name}-{size}", shows, size, size, (source,), ADA, page, size_mb, MEMORY_MB[size], lr)


def _distilled(name: str, size: int, size_mb: int) -> ModelSpec:
    """A network of the Self-Distilled StyleGAN paper (PyTorch)."""
    file = f"{name}_{size}_pytorch.pkl"
    source = Source(file, (f"{DISTILLED}/{file}", f"{MIRROR}/self_distill/{file}"))
    shows, page = f"{name}, in photos from the internet", "https://self-distilled-stylegan.github.io"
    return ModelSpec(f"self-distilled-{name}", shows, size, size, (source,), CITE, page, size_mb, MEMORY_MB[size], 1e-3)


def _human(size: int, size_mb: int) -> ModelSpec:
    """A network of StyleGAN-Human (PyTorch), whose pictures are twice as high as wide."""
    file = f"stylegan_human_v2_{size}.pkl"
    source = Source(file, (f"{MIRROR}/human/{file}",))
    name, shows = f"stylegan-human-{size}", "people from head to foot"
    page = "https://github.com/stylegan-human/StyleGAN-Human"
    return ModelSpec(name, shows, size, size // 2, (source,), HUMAN, page, size_mb, 1100, 1e-3)


PLUSH = ModelSpec(
    name="plush-256",
    shows="plush animal heads",
    height=256,
    width=256,
    sources=(Source("plush-256.safetensors", (), "ba62c82d090b150074d5102c9081a38e0f94dd871339183c79218bc791987204"),),
    licence=OURS,
    page="checkpoints/README.md",
    size_mb=12,
    memory_mb=900,
    lr=2e-3,
)

MODELS = (
    PLUSH,
    _config_f("ffhq", "faces", 1024, 381, lr=2e-3),
    _config_f("cat", "cats", 256, 357),
    _config_f("church", "churches", 256, 357),
    _config_f("horse", "horses", 256, 357),
    _ada("ffhq", "faces", 1024, 381, lr=2e-3),
    _ada("afhqcat", "heads of cats", 512, 364, lr=2e-3),
    _ada("afhqdog", "heads of dogs", 512, 364),
    _ada("afhqwild", "heads of foxes and big cats", 512, 364),
    _ada("brecahad", "breast tissue under the microscope", 512, 364),
    _ada("metfaces", "faces in paintings and sculptures", 1024, 381),
    _catalogue("ffhq", "faces", 512, 364, lr=2e-3),
    _catalogue("ffhq", "faces", 256, 296, lr=2e-3),
    _config_f("car", "cars, between black bars (512 x 384)", 512, 364, lr=2e-3),
    _distilled("bicycles", 256, 357),
    _distilled("dogs", 1024, 381),
    _distilled("elephants", 512, 364),
    _distilled("giraffes", 512, 364),
    _distilled("horses", 256, 357),
    _distilled("lions", 512, 364),
    _distilled("parrots", 512, 364),
    _human(512, 361),
    _human(1024, 370),
)
