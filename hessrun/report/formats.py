"""A figure as SVG, PNG and PDF at once: matplotlib walks it a single time, and each stroke goes to all three."""

import io
import struct
import zlib
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.backend_bases import FigureCanvasBase, RendererBase
from matplotlib.backends import backend_agg, backend_mixed, backend_pdf, backend_svg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform, TransformedPath

from hessrun.report.layout import lay_out

_agg: Any = backend_agg  # their renderers have no types
_mixed: Any = backend_mixed
_pdf: Any = backend_pdf
_svg: Any = backend_svg
DPI = 150
_POINTS = 72 / DPI  # of a pixel
_Heights: TypeAlias = tuple[float, float, float] | tuple[None, None, None]


def rendered(figure: Figure) -> dict[str, bytes]:
    """The figure by format: `svg`, `png` with 150 pixels an inch, and `pdf`; its layout is done here.

    The layout and the ticks of a figure take longer than its strokes; savefig makes them anew for each format.
    """
    figure.set_dpi(DPI)
    width, height = figure.get_size_inches()
    strokes = _Strokes(width, height)
    renderer = _mixed.MixedModeRenderer(figure, width, height, DPI, strokes)
    _Canvas(figure, renderer)
    lay_out(figure, renderer)
    figure.draw(renderer)
    return strokes.files()


class _Canvas(FigureCanvasBase):
    """What the layout asks how large a text is."""

    def __init__(self, figure: Figure, renderer: Any) -> None:
        super().__init__(figure)
        self._renderer = renderer

    def get_renderer(self) -> Any:
        return self._renderer


class _Strokes(RendererBase):
    """Draws in pixels on a raster, and the same in points, 1/72 inch, as SVG and as PDF.

    width, height: inches.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self._height = height * DPI
        self._raster = _agg.RendererAgg(width * DPI, self._height, DPI)
        self._text, self._bytes = io.StringIO(), io.BytesIO()
        self._svg = _svg.RendererSVG(width * 72, height * 72, self._text, image_dpi=DPI, metadata={"Date": None})
        self._file = _pdf.PdfFile(self._bytes, metadata={"CreationDate": None})
        self._file.newPage(width, height)
        self._pdf = _pdf.RendererPdf(self._file, DPI, height, width)
        self._to_points = Affine2D().scale(_POINTS)
        self._clips: dict[tuple[float, ...], Bbox] = {}

    def files(self) -> dict[str, bytes]:
        """What has been drawn, by format. To be asked once: it ends the files."""
        self._svg.finalize()
        self._pdf.finalize()
        self._file.finalize()
        self._file.close()
        png = _png(np.asarray(self._raster.buffer_rgba())[..., :3])
        return {"svg": self._text.getvalue().encode(), "png": png, "pdf": self._bytes.getvalue()}

    def get_canvas_width_height(self) -> Any:
        return self._raster.get_canvas_width_height()

    def points_to_pixels(self, points: Any) -> Any:
        return points / _POINTS

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Any:
        return self._raster.get_text_width_height_descent(s, prop, ismath)

    def _get_font_height_metrics(self, prop: Any) -> _Heights:
        """Pixels above and below the baseline, and between lines; matplotlib asks for them at each text it measures."""
        return _line_heights(findfont(prop), prop.get_size_in_points())

    def new_gc(self) -> Any:
        return self._pdf.new_gc()

    def open_group(self, s: str, gid: str | None = None) -> None:
        self._svg.open_group(s, gid)

    def close_group(self, s: str) -> None:
        self._svg.close_group(s)

    def draw_path(self, gc: Any, path: Path, transform: Transform, rgbFace: Any = None) -> None:
        self._raster.draw_path(gc, path, transform, rgbFace)
        small, transform = self._small(gc), transform + self._to_points
        self._svg.draw_path(small, path, transform, rgbFace)
        self._pdf.draw_path(small, path, transform, rgbFace)

    def draw_markers(
        self, gc: Any, marker_path: Path, marker_trans: Transform, path: Path, trans: Transform, rgbFace: Any = None
    ) -> None:
        self._raster.draw_markers(gc, marker_path, marker_trans, path, trans, rgbFace)
        small, marker_trans, trans = self._small(gc), marker_trans + self._to_points, trans + self._to_points
        self._svg.draw_markers(small, marker_path, marker_trans, path, trans, rgbFace)
        self._pdf.draw_markers(small, marker_path, marker_trans, path, trans, rgbFace)

    def draw_path_collection(self, *args: Any, **options: Any) -> None:
        self._raster.draw_path_collection(*args, **options)
        gc, master, paths, transforms, offsets, offset_trans, *rest = args
        small, master, offset_trans = self._small(gc), master + self._to_points, offset_trans + self._to_points
        for each in (self._svg, self._pdf):
            each.draw_path_collection(small, master, paths, transforms, offsets, offset_trans, *rest, **options)

    def draw_image(self, gc: Any, x: float, y: float, im: Any, transform: Transform | None = None) -> None:
        self._raster.draw_image(gc, x, y, im)
        small = self._small(gc)
        self._svg.draw_image(small, x * _POINTS, y * _POINTS, im)
        self._pdf.draw_image(small, x * _POINTS, y * _POINTS, im)

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, ismath: Any = False, mtext: Any = None
    ) -> None:
        self._raster.draw_text(gc, x, y, s, prop, angle, ismath, mtext)
        small = self._small(gc)
        self._svg.draw_text(small, x * _POINTS, y * _POINTS, s, prop, angle, ismath, mtext)
        # y goes downwards, in a PDF upwards.
        self._pdf.draw_text(small, x * _POINTS, (self._height - y) * _POINTS, s, prop, angle, ismath, mtext)

    def _small(self, gc: Any) -> Any:
        """The graphics context with its clipping in points; line widths are in points everywhere."""
        small = self._pdf.new_gc()
        small.copy_properties(gc)
        box, (path, transform) = gc.get_clip_rectangle(), gc.get_clip_path()
        if box is not None:
            # One object a rectangle: a PDF begins anew at each other one.
            small.set_clip_rectangle(self._clips.setdefault(box.bounds, Bbox(np.asarray(box.get_points()) * _POINTS)))
        if path is not None:
            small.set_clip_path(TransformedPath(path, transform + self._to_points))
        return small


@cache
def _line_heights(font: str, size: float) -> _Heights:
    lines, head = get_font(font).get_sfnt_table("OS/2"), get_font(font).get_sfnt_table("head")
    if lines is None or head is None:
        return None, None, None  # matplotlib measures letters then
    scale = size / _POINTS / head["unitsPerEm"]
    return lines["sTypoAscender"] * scale, -lines["sTypoDescender"] * scale, lines["sTypoLineGap"] * scale


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    """An image [height, width, red green blue] as a PNG.

    Rows stand as they are: for drawings the filters that Pillow tries on each take twice the time and save nothing.
    """
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each begins with its filter: 0 is none
    rows[:, 1:] = image.reshape(height, 3 * width)
    a_metre = round(DPI / 0.0254)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),  # 8 bits of red, green and blue
        b"pHYs": struct.pack(">IIB", a_metre, a_metre, 1),
        b"IDAT": zlib.compress(rows.data, 3),
        b"IEND": b"",
    }
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks.items()
    ]
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts])
