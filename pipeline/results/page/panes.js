// Two panes that zoom and pan together: OpenSeadragon shows the tiles, everything else is here.

const OSD = window.OpenSeadragon;
// A tile of an image without coarse levels takes a while.
const PATIENCE = 180000;
const LONGEST_RULER = 140;

// Describe the tiles of one image: `address` makes an address of a level (0 is full resolution), a column and a row.
export function makeSource(facts, coarsest, address) {
  const top = facts.levels - 1;
  const source = new OSD.TileSource({
    width: facts.width,
    height: facts.height,
    tileSize: facts.side,
    tileOverlap: 0,
    minLevel: 0,
    maxLevel: top,
  });
  const exists = source.tileExists.bind(source);
  source.getTileUrl = (level, column, row) => address(top - level, column, row);
  source.tileExists = (level, column, row) => top - level <= coarsest && exists(level, column, row);
  return source;
}

export class Pane {
  constructor(figure, facts, { navigator }) {
    this.facts = facts;
    this.figure = figure;
    this.caption = figure.querySelector("figcaption");
    this.layers = new Map();
    this.cross = document.createElement("div");
    this.cross.className = "cross";
    this.cross.hidden = true;
    this.viewer = OSD({
      element: figure.querySelector(".stage"),
      // Colors on the canvas are exactly those of the tiles.
      drawer: "canvas",
      showNavigationControl: false,
      showNavigator: navigator,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorSizeRatio: 0.16,
      navigatorMaintainSizeRatio: true,
      animationTime: 0.35,
      springStiffness: 9,
      maxZoomPixelRatio: 32,
      minZoomImageRatio: 0.8,
      visibilityRatio: 0.4,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      imageLoaderLimit: 6,
      timeout: PATIENCE,
      maxImageCacheCount: 300,
      crossOriginPolicy: false,
    });
    this.viewer.canvas.setAttribute("role", "application");
    this.viewer.canvas.setAttribute("aria-label", "Image. Arrow keys move it, plus and minus zoom, 0 shows all of it.");
    figure.append(this.cross);
    this.viewer.addHandler("zoom", () => this.sharpen());
    this.viewer.addHandler("resize", () => this.sharpen());
  }

  // Any of the items: all of them lie on each other.
  get item() {
    return this.viewer.world.getItemAt(0);
  }

  // Screen pixels for each pixel of the image.
  get zoom() {
    const { viewport } = this.viewer;
    return this.item.viewportToImageZoom(viewport.getZoom(true));
  }

  // Pixels have edges where they are large, and are smoothed where several share one of the screen.
  sharpen() {
    if (!this.item) return;
    const { drawer, viewport } = this.viewer;
    const isSmooth = this.item.viewportToImageZoom(viewport.getZoom()) < 1;
    drawer.setImageSmoothingEnabled(isSmooth);
    // Layers that one sees through are drawn on a canvas of their own first, which keeps its setting otherwise.
    if (drawer.sketchContext) drawer.sketchContext.imageSmoothingEnabled = isSmooth;
  }

  // Show tiles in a slot, of which later ones lie above earlier ones. `key` tells tiles from others.
  show(slot, key, makeTiles, opacity) {
    let layer = this.layers.get(slot);
    if (!layer) this.layers.set(slot, (layer = { key: null, item: null, turn: 0, opacity }));
    layer.opacity = opacity;
    if (layer.key === key) {
      if (layer.item && !layer.next) layer.item.setOpacity(opacity);
      return;
    }
    layer.key = key;
    const turn = ++layer.turn;
    const old = layer.item;
    this.viewer.addTiledImage({
      tileSource: makeTiles(),
      index: slot === "image" ? 0 : undefined,
      opacity: old ? 0 : opacity,
      preload: true,
      success: ({ item }) => {
        if (turn !== layer.turn) {
          this.viewer.world.removeItem(item);
          return;
        }
        if (!old) {
          layer.item = item;
          item.setOpacity(layer.opacity);
          this.sharpen();
          return;
        }
        // The old colors stay until the new ones are there.
        const swap = () => {
          layer.next = null;
          if (turn !== layer.turn) {
            this.viewer.world.removeItem(item);
            return;
          }
          layer.item = item;
          item.setOpacity(layer.opacity);
          this.viewer.world.removeItem(old);
        };
        layer.next = item;
        if (item.getFullyLoaded()) swap();
        else item.addOnceHandler("fully-loaded-change", swap);
      },
    });
  }

  // Remove the tiles of a slot.
  hide(slot) {
    const layer = this.layers.get(slot);
    if (!layer) return;
    layer.turn += 1;
    if (layer.item) this.viewer.world.removeItem(layer.item);
    this.layers.delete(slot);
  }

  // The pixel at a place of the window, or null outside of the image.
  pixelAt(clientX, clientY) {
    if (!this.item) return null;
    const box = this.viewer.element.getBoundingClientRect();
    const point = this.item.viewerElementToImageCoordinates(new OSD.Point(clientX - box.left, clientY - box.top));
    return this.inside(Math.floor(point.x), Math.floor(point.y));
  }

  // The pixel in the middle of the pane, or null outside of the image.
  pixelAtCenter() {
    if (!this.item) return null;
    const point = this.item.viewportToImageCoordinates(this.viewer.viewport.getCenter(true));
    return this.inside(Math.floor(point.x), Math.floor(point.y));
  }

  inside(x, y) {
    return x >= 0 && y >= 0 && x < this.facts.width && y < this.facts.height ? { x, y } : null;
  }

  // Mark a pixel, or nothing.
  mark(pixel) {
    this.cross.hidden = !pixel || !this.item;
    if (this.cross.hidden) return;
    const point = this.item.imageToViewerElementCoordinates(new OSD.Point(pixel.x + 0.5, pixel.y + 0.5));
    this.cross.style.transform = `translate(${point.x}px, ${point.y}px)`;
  }

  zoomBy(factor) {
    this.viewer.viewport.zoomBy(factor).applyConstraints();
  }

  home() {
    this.viewer.viewport.goHome();
  }

  fullResolution() {
    this.viewer.viewport.zoomTo(this.item.imageToViewportZoom(1)).applyConstraints();
  }

  follow(other) {
    this.viewer.viewport.fitBounds(other.viewer.viewport.getBounds(true), true);
    this.sharpen();
  }
}

// A round length for a scale bar: its width on the screen and its text.
export function measure(facts, zoom) {
  const size = facts.pixel_size ? facts.pixel_size[1] : 1;
  const longest = (LONGEST_RULER / zoom) * size;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].map((digit) => digit * power).find((one) => one <= longest) ?? power;
  return { width: (length / size) * zoom, text: facts.pixel_size ? formatLength(length) : `${formatNumber(length)} px` };
}

export function formatLength(micrometers) {
  const size = Math.abs(micrometers);
  if (size >= 1e9) return `${formatNumber(micrometers / 1e9)} km`;
  if (size >= 1e6) return `${formatNumber(micrometers / 1e6)} m`;
  if (size >= 1e3) return `${formatNumber(micrometers / 1e3)} mm`;
  return `${formatNumber(micrometers)} µm`;
}

export function formatArea(squareMicrometers) {
  const millimeters = squareMicrometers / 1e6;
  if (millimeters >= 1e6) return `${formatNumber(millimeters / 1e6)} m²`;
  if (millimeters >= 0.001) return `${formatNumber(millimeters)} mm²`;
  return `${formatNumber(squareMicrometers)} µm²`;
}

export function formatNumber(number, digits = 4) {
  const size = Math.abs(number);
  if (number === 0) return "0";
  if (size < 1e-4 || size >= 1e7) return number.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(number.toPrecision(digits)));
}
