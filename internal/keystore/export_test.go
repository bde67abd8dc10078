package keystore

// PurposePassword lets tests look at sealed passwords.
var PurposePassword = purposePassword

// NewPassword lets tests look at generated passwords.
var NewPassword = newPassword
