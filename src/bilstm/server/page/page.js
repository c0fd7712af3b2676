// NiceGUI's charts ask plotly to fit them to their place also when that has just been taken away
addEventListener('unhandledrejection', (event) => {
  if (String(event.reason?.message ?? event.reason).startsWith('Resize must be passed')) event.preventDefault();
});

// A chosen sound is played from the browser itself: nothing is sent twice.
function playFile(player, file) {
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  player.hidden = false;
}
