// Files that the visitor has chosen, and what the pointer is on. Listens on the document, whatever Gradio redraws.
(() => {
  const files = {};

  // ---- Files: sent in base64 with the event that needs them, so that the server stores none of them.

  const encode = (file) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(file);
    });

  // Replaces the first of an event's inputs by the files of these roles.
  const send = async (roles, inputs, largest) => {
    const sent = {};
    for (const role of roles) {
      const file = files[role];
      if (!file) continue;
      const data = file.size > largest ? null : await encode(file).catch(() => "");
      sent[role] = { name: file.name, size: file.size, data };
    }
    return [JSON.stringify(sent), ...inputs.slice(1)];
  };

  const take = (input, file) => {
    if (!file) return;
    const role = input.dataset.role;
    files[role] = file;
    input.closest(".drop").querySelector(".chosen").textContent = file.name;
    input.value = ""; // so that the same file can be chosen again
    if (role === "picture") document.getElementById("predict").click();
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches?.(".drop input")) take(event.target, event.target.files[0]);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const area = event.target.closest?.(".drop");
      if (kind !== "dragleave") event.preventDefault(); // a file dropped beside must not replace the page
      if (!area) return;
      area.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(area.querySelector("input"), event.dataTransfer.files[0]);
    });
  }

  // ---- Segments: their ids are the colors of a hidden picture, R + 256 G + 65536 B.

  const maps = new WeakMap();

  const idsOf = (view) => {
    const picture = view.querySelector("img.ids");
    if (!maps.has(picture) && picture.complete && picture.naturalWidth) {
      const { naturalWidth: width, naturalHeight: height } = picture;
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      const bytes = context.getImageData(0, 0, width, height).data;
      const ids = new Uint32Array(width * height);
      for (let i = 0; i < ids.length; i++) ids[i] = bytes[4 * i] + 256 * bytes[4 * i + 1] + 65536 * bytes[4 * i + 2];
      maps.set(picture, { width, height, ids, segments: JSON.parse(view.dataset.segments) });
    }
    return maps.get(picture);
  };

  const show = (view, id) => {
    if (view.dataset.shown === String(id)) return;
    view.dataset.shown = id;
    const { width, height, ids, segments } = idsOf(view);
    view.querySelector(".tip").textContent = segments[id] ?? "\u00a0";
    const canvas = Object.assign(view.querySelector(".mark"), { width, height }); // which clears it
    if (!id) return;
    const mark = new ImageData(width, height);
    const pixels = new Uint32Array(mark.data.buffer);
    for (let i = 0; i < pixels.length; i++) if (ids[i] === id) pixels[i] = 0x66ffffff;
    canvas.getContext("2d").putImageData(mark, 0, 0);
  };

  const point = (event) => {
    const frame = event.target.closest?.(".segments-view .frame");
    for (const other of document.querySelectorAll(".segments-view[data-shown]")) {
      if (other !== frame?.parentElement && other.dataset.shown !== "0" && idsOf(other)) show(other, 0);
    }
    const map = frame && idsOf(frame.parentElement);
    if (!map) return;
    const box = frame.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * map.width);
    const row = Math.floor(((event.clientY - box.top) / box.height) * map.height);
    const inside = column >= 0 && row >= 0 && column < map.width && row < map.height;
    show(frame.parentElement, inside ? map.ids[row * map.width + column] : 0);
  };
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);

  window.panopticPage = { send };
})();
