// What canvases show as one PNG file: side by side, each below its title, on the page's paper.
// `margin` is kept free on the left for what `beside` draws there: pixels of the page, 0 at the top.
function save(name, root, shown, margin = 0, beside = () => {}) {
  const PAD = 16, GAP = 22, HEAD = shown.some(one => one.title) ? 26 : 0
  const dense = window.devicePixelRatio || 1
  const width = shown.reduce((sum, { canvas }) => sum + canvas.clientWidth, margin + GAP * (shown.length - 1))
  const height = HEAD + Math.max(...shown.map(({ canvas }) => canvas.clientHeight))
  const sheet = element("canvas")
  sheet.width = Math.round((width + 2 * PAD) * dense)
  sheet.height = Math.round((height + 2 * PAD) * dense)
  const pen = sheet.getContext("2d")
  const style = getComputedStyle(root)
  pen.scale(dense, dense)
  pen.fillStyle = style.getPropertyValue("--st-background-color").trim() || "#FFFFFF"
  pen.fillRect(0, 0, width + 2 * PAD, height + 2 * PAD)
  pen.translate(PAD, PAD)
  pen.fillStyle = style.color
  pen.font = "600 13px sans-serif"
  let x = margin
  for (const { canvas, title } of shown) {
    if (title) pen.fillText(title, x, 14, canvas.clientWidth)
    pen.drawImage(canvas, x, HEAD, canvas.clientWidth, canvas.clientHeight)
    x += canvas.clientWidth + GAP
  }
  pen.translate(0, HEAD)
  beside(pen)
  sheet.toBlob(blob => {
    const link = element("a")
    link.href = URL.createObjectURL(blob)
    link.download = `${name}.png`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  })
}
