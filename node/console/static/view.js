// What part of the world the map shows: equirectangular, true to scale at the domain's middle.

const ZOOM_MAX_PX_PER_DEGREE = 200_000;
const MARGIN_PX = 28;

export class View {
  constructor() {
    this.width = this.height = 1;
    this.domain = [-180, -90, 180, 90];
    this.lon = this.lat = 0;
    this.scale = 1; // pixels per degree of latitude
    this.squeeze = 1; // pixels per degree of longitude, relative to that
  }

  setDomain(domain) {
    this.domain = domain;
    const middle = (domain[1] + domain[3]) / 2;
    this.squeeze = Math.max(0.2, Math.cos((middle * Math.PI) / 180));
  }

  setSize(width, height) {
    this.width = width;
    this.height = height;
  }

  get fitScale() {
    const [west, south, east, north] = this.domain;
    const width = Math.max(40, this.width - 2 * MARGIN_PX);
    const height = Math.max(40, this.height - 2 * MARGIN_PX);
    return Math.min(width / ((east - west) * this.squeeze), height / (north - south));
  }

  fit() {
    const [west, south, east, north] = this.domain;
    this.lon = (west + east) / 2;
    this.lat = (south + north) / 2;
    this.scale = this.fitScale;
  }

  x(lon) {
    return this.width / 2 + (lon - this.lon) * this.scale * this.squeeze;
  }

  y(lat) {
    return this.height / 2 - (lat - this.lat) * this.scale;
  }

  lonAt(x) {
    return this.lon + (x - this.width / 2) / (this.scale * this.squeeze);
  }

  latAt(y) {
    return this.lat - (y - this.height / 2) / this.scale;
  }

  /** West, south, east, north shown, wider by a share of its size on each side. */
  box(margin = 0) {
    const x = this.width * margin, y = this.height * margin;
    return [this.lonAt(-x), this.latAt(this.height + y), this.lonAt(this.width + x), this.latAt(-y)];
  }

  /** The shown part of the domain; null when nothing of it is shown. */
  domainBox() {
    const shown = this.box();
    const box = [
      Math.max(shown[0], this.domain[0]), Math.max(shown[1], this.domain[1]),
      Math.min(shown[2], this.domain[2]), Math.min(shown[3], this.domain[3]),
    ];
    return box[0] < box[2] && box[1] < box[3] ? box : null;
  }

  pan(dx, dy) {
    const [west, south, east, north] = this.domain;
    this.lon = Math.min(Math.max(this.lon - dx / (this.scale * this.squeeze), west), east);
    this.lat = Math.min(Math.max(this.lat + dy / this.scale, south), north);
  }

  /** Zoom so that the place under (x, y) stays there. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const lon = this.lonAt(x), lat = this.latAt(y);
    const scale = Math.min(Math.max(this.scale * factor, this.fitScale / 4), ZOOM_MAX_PX_PER_DEGREE);
    this.scale = scale;
    this.lon = lon - (x - this.width / 2) / (scale * this.squeeze);
    this.lat = lat + (y - this.height / 2) / scale;
    this.pan(0, 0);
  }
}

/** Distance in degrees between lines of the graticule, so that some 4 to 9 fit into `degrees`. */
export function graticuleStep(degrees) {
  const steps = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
  return steps.find((step) => degrees / step >= 4) || 0.001;
}

/** "135.5° E" or "33.5° N" with as many digits as the step needs. */
export function degreeText(degrees, step, letters) {
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step));
  const rounded = Number(degrees.toFixed(digits));
  const letter = rounded === 0 ? "" : ` ${letters[rounded > 0 ? 0 : 1]}`;
  return `${Math.abs(rounded).toFixed(digits)}°${letter}`;
}
